// SPDX-License-Identifier: Apache-2.0
// Two clients say anything to one store server: Dialogue, RequestParser and KeyTable without the sockets.
#include <muster/store/dialogue.hpp>
#include <muster/store/request_parser.hpp>
#include <muster/store/table.hpp>
#include <muster/store/wire.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz.hpp"

using namespace muster::detail;
using fuzz::require;

namespace {

/// A request as it was understood.
struct Request {
    Opcode code;
    std::uint64_t number;
    std::vector<std::string> texts;

    friend bool operator==(const Request&, const Request&) = default;
};

/// All requests that are complete; false when the stream is not the protocol.
bool drain(RequestParser& parser, std::vector<Request>& requests) {
    for (;;) {
        const RequestParser::Progress progress = parser.next();
        if (progress == RequestParser::Progress::incomplete) return true;
        if (progress == RequestParser::Progress::invalid) return false;
        requests.push_back({parser.code(), parser.number(), {parser.texts().begin(), parser.texts().end()}});
    }
}

/// A connection, with all that came over it.
struct Client final : Dialogue {
    using Dialogue::Dialogue;

    RequestParser pieces; ///< sees the same pieces as the dialogue
    std::vector<Request> requests;
    std::string stream;
    bool valid = true;
};

class Server {
public:
    ~Server() {
        for (std::size_t i = 0; i < clients_.size(); ++i) drop(i);
        // What was counted in is counted out again.
        for (const std::string& key : keys_) (void)table_.remove(key);
        require(table_.size() == 0, "the requests name all keys that there are");
        require(table_.bytes() == 0, "an empty table without waiters takes no memory");
    }

    void feed(std::size_t index, std::string_view bytes) {
        if (!clients_[index]) clients_[index] = std::make_unique<Client>(table_);
        Client& client = *clients_[index];
        client.stream += bytes;
        client.pieces.feed(bytes);
        client.valid = drain(client.pieces, client.requests);
        const bool keep = client.feed(bytes);
        require(client.valid || !keep, "a client that does not speak the protocol is cut off");
        require(!keep || client.mid_request() == client.pieces.mid_request(), "a dialogue reads all that it is fed");
        answer_ready();
        check();
        if (!keep) drop(index);
    }

    /// The client reads its replies.
    void read(std::size_t index) {
        if (clients_[index]) clients_[index]->replies().clear();
    }

    /// The connection ends.
    void drop(std::size_t index) {
        if (!clients_[index]) return;
        Client& client = *clients_[index];
        RequestParser whole;
        std::vector<Request> requests;
        whole.feed(client.stream);
        require(drain(whole, requests) == client.valid, "validity does not depend on the pieces");
        require(requests == client.requests, "the requests do not depend on the pieces");
        for (const Request& request : requests)
            for (const std::string& text : request.texts) remember(text);
        client.execute_wills();
        clients_[index].reset();
        answer_ready();
        check();
    }

private:
    void answer_ready() {
        while (Waiter* const waiter = table_.take_ready()) static_cast<Client&>(*waiter).answer_wait();
    }

    /// A key, and what it is a will for.
    void remember(std::string key) {
        keys_.push_back(key);
        if (const auto mark = key.find(will_mark); mark != std::string::npos)
            keys_.push_back(key.erase(mark, will_mark.size()));
    }

    void check() const {
        // A run feeds some KiB: anything near this is a difference below zero.
        constexpr std::size_t far = std::size_t{1} << 40;
        require(table_.bytes() < far, "the table's memory does not wrap");
        require(table_.bytes() >= table_.size(), "each key takes memory");
        for (const auto& client : clients_) {
            if (!client) continue;
            require(!client->ready(), "nobody who is ready waits on");
            require(client->bytes() < far, "a client's memory does not wrap");
            require(client->bytes() >= client->replies().size(), "replies count");
            require(client->replies().size() <= max_message_bytes + (std::size_t{16} << 20) + sizeof(std::uint64_t),
                    "a client that does not read its replies is cut off");
        }
    }

    KeyTable table_;
    std::array<std::unique_ptr<Client>, 2> clients_;
    std::vector<std::string> keys_;
};

/// A request without a mistake, for what lies behind the parser.
std::string compose(fuzz::Input& input) {
    static constexpr std::array<std::string_view, 8> keys{"a", "b", "c", "", "@will/a", "b/@will/x", "b/x", "a@will/"};
    const auto code = static_cast<Opcode>(input.byte() % 14);
    RequestWriter request(code);
    const std::string_view layout = *request_layout(static_cast<std::uint8_t>(code));
    std::size_t repeat = 1;
    for (std::size_t round = 0; round < repeat; ++round)
        for (const char field : layout) {
            if (field == 'n' && round == 0) request.count(repeat = input.byte() % 5U);
            if (field == 'n' && repeat == 0) break;
            if (field == 'k') request.value(keys[input.byte() % keys.size()]);
            if (field == 'v') request.value(input.text());
            if (field == '8') request.number(std::int64_t{static_cast<std::int8_t>(input.byte())} << 56 >> 52);
            if (field == '4') request.number(code == Opcode::validate ? wire_magic : std::uint32_t{input.byte()});
        }
    return request.bytes();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    Server server;
    while (!input.empty()) {
        const std::uint8_t step = input.byte();
        const std::size_t client = step & 1U;
        switch (step >> 1U & 3U) {
            case 0: server.feed(client, input.text()); break;
            case 1: {
                const std::string request = compose(input);
                const std::size_t cut = std::min<std::size_t>(step >> 3U, request.size());
                server.feed(client, std::string_view(request).substr(0, cut));
                server.feed(client, std::string_view(request).substr(cut));
                break;
            }
            case 2: server.read(client); break;
            default: server.drop(client); break;
        }
    }
    return 0;
}

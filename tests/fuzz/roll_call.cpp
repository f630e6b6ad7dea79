// SPDX-License-Identifier: Apache-2.0
// Any bytes as what ranks tell each other in the roll call and at the commit. The first byte says as which of them.
#include <muster/core/error.hpp>
#include <muster/roll_call/answer.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/roll_call/outcome.hpp>
#include <muster/roll_call/record.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/verdict.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz.hpp"

using namespace muster::detail;
using fuzz::require;
using muster::Record;

namespace {

Record reader() {
    Record self;
    self.rank = 1;
    self.world_size = 4;
    self.nonce = "0123456789abcdef0123456789abcdef";
    self.host = "gpu02";
    return self;
}

void fields(std::string_view bytes) {
    const Fields decoded = Fields::decode(bytes);
    require(decoded.encode() == bytes, "fields stay what they are");
    std::map<std::string_view, std::string_view> last;
    Fields::visit(bytes, [&](std::string_view name, std::string_view value) { last[name] = value; });
    for (const auto& [name, value] : last) {
        require(decoded.has(name) && decoded.get(name) == value, "a field has its value");
        (void)decoded.number(name, 0);
    }
    Fields more = decoded;
    more.set("more", "value");
    require(Fields::decode(more.encode()).get("more") == "value", "what is set last counts");
}

void record(std::string_view bytes) {
    const Record decoded = to_record(bytes);
    const std::string once = to_fields(decoded).encode();
    require(to_fields(to_record(once)).encode() == once, "a record stays what it is");
}

void verdict(std::string_view bytes) {
    const Record self = reader();
    (void)is_member(bytes, self);
    const muster::Session session = read_verdict(bytes, "session", self, {});
    require(session.size >= 1, "a world has a rank");
    if (session.size <= 4096) require(payloads(session).size() == std::size_t(session.size), "each rank has a payload");
}

/// The list that rank 0 judges.
void records(std::string_view bytes) {
    std::vector<Record> decoded;
    decode_records(bytes, decoded);
    const RecordRefs present = refs(decoded);
    if (const auto finding = examine(present))
        require(Finding::decode(Fields::decode(finding->encode())).ranks == finding->ranks,
                "a finding names its ranks on every rank");
    (void)missing_ranks(8, present, std::chrono::seconds(1), present);
    (void)ended_ranks(8, present, muster::Stage::commit, "here");
}

/// What rank 0 made of the payloads.
void answer(std::string_view bytes) {
    muster::Session session;
    session.size = 4;
    session.answer = bytes;
    const std::vector<std::string> decoded = payloads(session);
    session.answer = list_payloads(decoded);
    require(payloads(session) == decoded, "payloads stay what they are");
}

void outcome(std::string_view bytes) {
    raise_unless_success(std::string(bytes), 1);
    require(bytes == success, "only one word is success");
}

void nonces(std::string_view bytes) {
    std::size_t count = 0;
    for (const auto& [nonce, times] : count_nonces(bytes)) count += static_cast<std::size_t>(times);
    require(count == bytes.size() / nonce_digits, "each nonce counts");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    const std::uint8_t what = input.byte();
    try {
        switch (what % 7) {
            case 0: fields(input.rest()); break;
            case 1: record(input.rest()); break;
            case 2: verdict(input.rest()); break;
            case 3: records(input.rest()); break;
            case 4: answer(input.rest()); break;
            case 5: outcome(input.rest()); break;
            default: nonces(input.rest()); break;
        }
    } catch (const muster::Error& error) {
        require(error.code() == muster::errc::protocol || error.shared(), "bytes are malformed, or an error to share");
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// The other files of this program are static_asserts: compiled is passed. Linking them shows besides that the headers
// may stand in several files of one program.
int main() {}

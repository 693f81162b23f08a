// Package agenttest gives tests of the device's side what an agent needs and
// what can happen to one: a TPM (tpmtest has the emulator), the child that
// unwraps session keys, session keys as a server wraps them, and deaths by
// kill -9 at a step that is named. For tests only.
package agenttest

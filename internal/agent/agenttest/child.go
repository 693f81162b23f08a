package agenttest

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/signetid/signet/internal/agent"
)

// childMark makes a test program the child that unwraps a session key.
const childMark = "SIGNET_TEST_UNWRAP"

// Main is called first thing by TestMain: it ends the program when it was
// started by Child, or by Op.Crash.
func Main() {
	if text := os.Getenv(crashMark); text != "" {
		crash(text)
	}
	if os.Getenv(childMark) == "" {
		return
	}
	if err := agent.UnwrapSessionKey(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Child is an agent's Child: this test program once more.
func Child(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childMark+"=1", crashMark+"=")
	return cmd
}

package agent_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/signetid/signet/internal/agent"
)

// childMark makes this test program the child that unwraps a session key.
const childMark = "SIGNET_TEST_UNWRAP"

func TestMain(m *testing.M) {
	if os.Getenv(childMark) != "" {
		if err := agent.UnwrapSessionKey(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childMark+"=1")
	return cmd
}

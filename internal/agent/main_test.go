package agent_test

import (
	"os"
	"testing"

	"github.com/signetid/signet/internal/agent/agenttest"
)

func TestMain(m *testing.M) {
	agenttest.Main()
	os.Exit(m.Run())
}

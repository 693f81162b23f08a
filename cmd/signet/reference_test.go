package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/reference/cli.md anew")

const referencePath = "../../docs/reference/cli.md"

// TestReference keeps docs/reference/cli.md what --help says. After a change:
// go test ./cmd/signet -run TestReference -update
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Commands and flags

Made from the program's own help by ` + "`go test ./cmd/signet -run TestReference -update`" + `.

Exit codes: 0 done, 1 failed, 2 wrong usage; ` + "`signet admin policy plan`" + ` has its own. Errors are one line on standard error. The flags of ` + "`signet serve`" + ` are
also the keys of the configuration file and, as ` + "`SIGNET_…`" + `, variables. ` + "`signet completion`" + ` prints shell completion
for bash, zsh, fish and PowerShell.
`)
	describe(&b, newRoot())
	if *update {
		if err := os.WriteFile(referencePath, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is not what the help says: go test ./cmd/signet -run TestReference -update", referencePath)
	}
}

func describe(b *strings.Builder, cmd *cobra.Command) {
	if cmd.Name() == "help" || cmd.Name() == "completion" || cmd.Hidden {
		return
	}
	if cmd.HasParent() {
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		fmt.Fprintf(b, "\n## %s\n\n%s\n\n```\n%s\n```\n", cmd.CommandPath(), text, dedent(cmd.Example))
		if cmd.Runnable() && !cmd.HasSubCommands() {
			fmt.Fprintf(b, "\nUsage: `%s`\n", strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		flags(b, cmd.NonInheritedFlags())
	}
	for _, sub := range cmd.Commands() {
		describe(b, sub)
	}
}

func flags(b *strings.Builder, fs *pflag.FlagSet) {
	first := true
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if first {
			b.WriteString("\n| flag | default | |\n|---|---|---|\n")
			first = false
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value := f.DefValue
		if value == "[]" {
			value = ""
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, value, strings.ReplaceAll(f.Usage, "|", "\\|"))
	})
}

func dedent(s string) string {
	var lines []string
	for _, line := range strings.Split(s, "\n") {
		lines = append(lines, strings.TrimPrefix(line, "  "))
	}
	return strings.Join(lines, "\n")
}

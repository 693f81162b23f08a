package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// outputFormat is the value of -o.
type outputFormat struct{ value *string }

var _ pflag.Value = outputFormat{}

func (o outputFormat) String() string {
	if o.value == nil {
		return ""
	}
	return *o.value
}
func (o outputFormat) Type() string { return "table|json" }
func (o outputFormat) Set(s string) error {
	if s != "table" && s != "json" {
		return fmt.Errorf("use table or json")
	}
	*o.value = s
	return nil
}

// addOutputFlag gives a command and its subcommands -o.
func addOutputFlag(cmd *cobra.Command, format *string) {
	*format = "table"
	cmd.PersistentFlags().VarP(outputFormat{format}, "output", "o", "how to print")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// column is one column of a table, or one line of a single object: the path
// of a field and what it is called.
type column struct{ field, title string }

func columns(fields ...string) []column {
	all := make([]column, len(fields))
	for i, f := range fields {
		name, title, ok := strings.Cut(f, "=")
		if !ok {
			title = name
		}
		all[i] = column{name, title}
	}
	return all
}

// show prints a result: JSON as it is, a list as a table, an object as lines.
func show(w io.Writer, format string, result json.RawMessage, cols []column) error {
	if format == "json" {
		var b bytes.Buffer
		if err := json.Indent(&b, result, "", "  "); err != nil {
			return err
		}
		b.WriteByte('\n')
		_, err := b.WriteTo(w)
		return err
	}
	if len(bytes.TrimSpace(result)) > 0 && bytes.TrimSpace(result)[0] == '[' {
		return showTable(w, result, cols)
	}
	return showObject(w, result, cols)
}

func showTable(w io.Writer, result json.RawMessage, cols []column) error {
	rows, err := decode[[]map[string]any](result)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	titles := make([]string, len(cols))
	for i, c := range cols {
		titles[i] = strings.ToUpper(c.title)
	}
	fmt.Fprintln(t, strings.Join(titles, "\t"))
	for _, row := range rows {
		cells := make([]string, len(cols))
		for i, c := range cols {
			cells[i] = text(row[c.field])
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

func showObject(w io.Writer, result json.RawMessage, cols []column) error {
	object, err := decode[map[string]any](result)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, c := range cols {
		if s := text(object[c.field]); s != "" {
			fmt.Fprintf(t, "%s\t%s\n", c.title, s)
		}
	}
	return t.Flush()
}

// decode keeps numbers as they were written.
func decode[T any](raw json.RawMessage) (T, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("read the answer: %w", err)
	}
	return v, nil
}

// text prints a value for a person. What others typed must not move the
// cursor or colour the terminal.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return printable(v)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		all := make([]string, len(v))
		for i, e := range v {
			all[i] = text(e)
		}
		return strings.Join(all, ", ")
	case map[string]any:
		b, _ := json.Marshal(v)
		return printable(string(b))
	}
	return fmt.Sprint(v)
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\ufffd'
		}
		return r
	}, s)
}

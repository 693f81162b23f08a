package app

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// giveBackProgram lets go of the pages of this program's own file. The start
// runs through most of its code once, tables of every package above all, and
// each page that was touched counts as resident for good, with its neighbours:
// 30 MiB, of which a server at rest needs a few. What is needed again is found
// in the system's cache of the file.
func giveBackProgram() error {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer f.Close()
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	parts, err := untouched(f, path)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, p.from, p.to-p.from, syscall.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("give back %x-%x: %w", p.from, p.to, errno)
		}
	}
	return nil
}

// span is a range of addresses.
type span struct{ from, to uintptr }

// untouched are the mappings of a file that this process can only read and of
// which it has no page of its own, here or swapped out: a debugger's breakpoint or
// a relocation makes one, and that the file would not bring back. smaps is as
// proc(5) has it.
func untouched(smaps io.Reader, path string) ([]span, error) {
	var out []span
	var at span
	fits := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		name, rest, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		if !bytes.HasSuffix(name, []byte(":")) {
			var err error
			if at, err = parseSpan(string(name)); err != nil {
				return nil, err
			}
			// perms offset device inode path
			f := strings.Fields(string(rest))
			fits = len(f) >= 5 && len(f[0]) == 4 && f[0][1] == '-' && f[0][3] == 'p' && strings.Join(f[4:], " ") == path
			continue
		}
		none := string(bytes.TrimSpace(rest)) == "0 kB"
		switch string(name) {
		case "Anonymous:":
			if fits = fits && none; fits {
				out = append(out, at)
			}
		case "Swap:": // behind Anonymous
			if fits && !none {
				out = out[:len(out)-1]
			}
		}
	}
	return out, lines.Err()
}

func parseSpan(text string) (span, error) {
	from, to, _ := strings.Cut(text, "-")
	a, err1 := strconv.ParseUint(from, 16, 64)
	b, err2 := strconv.ParseUint(to, 16, 64)
	if err1 != nil || err2 != nil || b < a {
		return span{}, fmt.Errorf("mapping %q", text)
	}
	return span{uintptr(a), uintptr(b)}, nil
}

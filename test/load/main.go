package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// settings are the program's flags.
type settings struct {
	binary string
	length time.Duration
	runs   int
	scale  bool
	only   string
}

func main() {
	var s settings
	bare := flag.Bool("floor-server", false, "serve bare net/http; the program starts itself so")
	flag.StringVar(&s.binary, "binary", "../bin/signet", "the signet binary to measure")
	flag.DurationVar(&s.length, "time", 3*time.Second, "how long each run lasts, after a warm-up of a quarter of it")
	flag.IntVar(&s.runs, "runs", 3, "runs of each measurement")
	flag.StringVar(&s.only, "only", "", "measure only operations whose name contains this")
	many := flag.String("callers", "1,16,64", "numbers of callers, the largest last")
	flag.BoolVar(&s.scale, "scale", false, "compare with a million people and ten million passkeys as well (minutes, and about 8 GB of disk)")
	flag.Parse()
	err := counts(*many)
	switch {
	case err != nil:
	case *bare:
		err = bareServer()
	default:
		err = measure(context.Background(), s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// callers is how many do each operation at the same time, one row for each.
var callers []int

// counts reads the numbers of callers.
func counts(list string) error {
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || len(callers) > 0 && n < callers[len(callers)-1] {
			return fmt.Errorf("callers %q: numbers from 1 up, the largest last", list)
		}
		callers = append(callers, n)
	}
	return nil
}

func measure(ctx context.Context, set settings) error {
	binary, err := filepath.Abs(set.binary)
	if err != nil {
		return err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return fmt.Errorf("no binary to measure: %w (make build)", err)
	}
	fmt.Printf("%s, %d processors, binary %.1f MB\n\n", runtime.Version(), runtime.NumCPU(), float64(info.Size())/1e6)
	s, err := newSite(ctx, binary)
	if err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	defer func() { s.stop() }()
	time.Sleep(5 * time.Second) // idle is what is measured next
	fmt.Printf("resident when idle: %.1f MiB\n", rssOf(s.cmd.Process.Pid))

	c, err := newCrowd(ctx, s, max(machinesEach, callers[len(callers)-1]))
	if err != nil {
		return err
	}
	f, err := measureFloor(ctx, set.length)
	if err != nil {
		return err
	}
	fmt.Printf("floor, CPU in µs: GET %.1f, form %.1f, JSON %.1f, ES256 verify %.1f, sign %.1f, durable row in a group of 64 %.1f, read by key %.1f\n",
		us(f.Get), us(f.PostForm), us(f.PostJSON), us(f.Verify), us(f.Sign), us(f.Row), us(f.Read))
	fmt.Printf("of devices: RS256 verify %.1f, session key wrapped %.1f, answer sealed by ECDH-ES %.1f, HS256 with derivation %.1f\n",
		us(f.VerifyRSA), us(f.Wrap), us(f.Agree), us(f.MAC))
	fmt.Printf("full mutual handshake, TLS 1.3, chain of three: %.1f; 16 callers: %.0f per second, p50 %.2f ms, p99 %.2f ms\n\n",
		us(f.Mutual), f.shaken.rate(), us(f.shaken.p50)/1000, us(f.shaken.p99)/1000)
	if err := c.table(ctx, f, set); err != nil {
		return err
	}
	fmt.Printf("\nresident after all this: %.1f MiB\n", rssOf(s.cmd.Process.Pid))
	if err := s.coldStarts(ctx, "empty but for the crowd"); err != nil {
		return err
	}
	if err := s.phones(ctx, set.only); err != nil {
		return err
	}
	if set.scale {
		return c.scale(ctx, set)
	}
	return nil
}

// coldStarts measures exec to ready, five times.
func (s *site) coldStarts(ctx context.Context, what string) error {
	fmt.Printf("exec to ready, %s, ms:", what)
	for range 5 {
		if err := s.stop(); err != nil {
			return err
		}
		took, err := s.start(ctx)
		if err != nil {
			return err
		}
		fmt.Printf(" %.0f", us(took)/1000)
	}
	fmt.Println()
	return nil
}

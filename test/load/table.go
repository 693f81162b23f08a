package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// table prints one line for each operation and number of callers, and one for
// each at half its load. Errors are failures of the run, whatever the speed.
func (c *crowd) table(ctx context.Context, f floor, set settings) error {
	fmt.Println("| operation | callers | ceiling µs | CPU µs min / median / max | share | must | per second | p50 ms | p99 ms | errors |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	var parts, calm []string
	for _, o := range c.operations() {
		if !strings.Contains(o.name, set.only) {
			continue
		}
		if o.setup != nil {
			if err := o.setup(ctx); err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
		}
		ceiling, words := o.ceiling(f)
		parts = append(parts, fmt.Sprintf("%s: %s = %.0f µs", o.name, words, ceiling))
		var full float64
		for _, n := range callers {
			last, err := c.row(ctx, o, n, ceiling, set)
			if err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
			full = max(full, last.rate())
		}
		half, err := c.half(ctx, o, full/2, set)
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		calm = append(calm, half)
	}
	fmt.Println("\nat half of the highest rate, from the moment at which each was due:")
	fmt.Println("\n| operation | per second | p50 ms | p99 ms | p99.9 ms | slowest ms | errors |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, line := range calm {
		fmt.Println(line)
	}
	fmt.Println("\nceilings, from the floor of this run:")
	for _, p := range parts {
		fmt.Println("-", p)
	}
	return nil
}

// row runs one operation with so many callers and prints its line. It gives the
// last run.
func (c *crowd) row(ctx context.Context, o operation, n int, ceiling float64, set settings) (result, error) {
	pid := c.site.cmd.Process.Pid
	ops := o.callers(n)
	var runs []result
	failed, rate := 0, 0.0
	for range set.runs {
		if err := o.prepare(ctx, n, rate, set.length*5/4); err != nil {
			return result{}, err
		}
		r := drive(ctx, pid, ops, set.length/4, set.length)
		runs = append(runs, r)
		rate = r.rate()
		failed += r.failed
		if r.why != nil {
			fmt.Fprintf(os.Stderr, "%s, %d callers: %v\n", o.name, n, r.why)
		}
	}
	lo, mid, hi := spread(runs)
	must := "–"
	if o.goal > 0 && n > 1 {
		must = fmt.Sprintf("%.2f", o.goal)
	}
	last := runs[len(runs)-1]
	fmt.Printf("| %s | %d | %.0f | %.0f / %.0f / %.0f | %.2f | %s | %.0f | %.2f | %.2f | %d |\n", o.name, n, ceiling,
		us(lo), us(mid), us(hi), ceiling/us(mid), must, last.rate(), us(last.p50)/1000, us(last.p99)/1000, failed)
	return last, nil
}

// half measures the times of an operation at a steady rate, for twice as long as
// a run: one in a thousand has to be among many.
func (c *crowd) half(ctx context.Context, o operation, rate float64, set settings) (string, error) {
	n := callers[len(callers)-1]
	length := set.length * 2
	if err := o.prepare(ctx, n, rate, length); err != nil {
		return "", err
	}
	r := pace(ctx, o.callers(n), rate, length)
	if r.why != nil {
		fmt.Fprintf(os.Stderr, "%s at half load: %v\n", o.name, r.why)
	}
	return fmt.Sprintf("| %s | %.0f | %.2f | %.2f | %.2f | %.2f | %d |", o.name, r.rate(),
		us(r.p50)/1000, us(r.p99)/1000, us(r.p999)/1000, us(r.slowest)/1000, r.failed), nil
}

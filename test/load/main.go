package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	bare := flag.Bool("floor-server", false, "serve bare net/http; used by the program itself")
	length := flag.Duration("time", 2*time.Second, "how long each part is measured")
	flag.Parse()
	var err error
	if *bare {
		err = bareServer()
	} else {
		var f floor
		if f, err = measureFloor(context.Background(), *length); err == nil {
			fmt.Printf("%+v\n", f)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

//go:build !nolocal

package main

import (
	"fmt"

	_ "github.com/standpipe/standpipe/local"
)

func main() { fmt.Println("http://example.com/home/somebody/") }

//go:build linux

package main

import (
	_ "github.com/standpipe/standpipe/local"
)

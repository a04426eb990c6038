package sink

import "fmt"

func put() { fmt.Println("put") }

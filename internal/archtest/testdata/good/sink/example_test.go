package sink

import "fmt"

func Example() { fmt.Println("put") }

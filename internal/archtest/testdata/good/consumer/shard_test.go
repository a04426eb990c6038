package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	_ "github.com/standpipe/standpipe/local/kinesis"
	"pgregory.net/rapid"
)

func settle() { time.Sleep(time.Second) }

func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { time.Sleep(time.Hour); settle() })
}

func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func TestInABubbleOfAHelper(t *testing.T) {
	bubble(t, func(t *testing.T) { time.Sleep(time.Hour) })
}

func TestAProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { t.Skip("an input of no interest") })
}

func FuzzInput(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) { t.Skip("an input of no interest") })
}

package consumer

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestOutsideTheBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { time.Sleep(time.Hour) })
	time.Sleep(time.Second)
}

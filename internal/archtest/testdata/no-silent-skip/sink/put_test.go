package sink

import "testing"

func TestPut(t *testing.T) {
	t.Run("to s3", func(t *testing.T) {
		for _, f := range []func(int){func(int) { t.Skip("no S3 here") }} {
			f(1)
		}
	})
}

package dynamodb

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint/kcl"
)

// valueOf turns what our expressions use into attribute values. Another type is
// a mistake in this package, found by the first test that meets it.
func valueOf(v any) types.AttributeValue {
	switch v := v.(type) {
	case types.AttributeValue:
		return v
	case string:
		return kcl.S(v)
	case int64:
		return kcl.N(v)
	case []byte:
		return kcl.B(v)
	case time.Time:
		return kcl.Time(v)
	case []standpipe.ShardID:
		return kcl.SS(v)
	}
	panic(fmt.Sprintf("no attribute value for %T", v))
}

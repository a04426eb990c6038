package harness

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// middle returns the first hash key of the upper half of [start, end].
func middle(start, end string) (string, error) {
	lo, ok1 := new(big.Int).SetString(start, 10)
	hi, ok2 := new(big.Int).SetString(end, 10)
	if !ok1 || !ok2 {
		return "", fmt.Errorf("hash keys %q and %q are not numbers", start, end)
	}
	sum := lo.Add(lo, hi)
	return sum.Rsh(sum, 1).Add(sum, big.NewInt(1)).String(), nil
}

// neighbours finds two shards of which the second begins where the first ends.
func neighbours(shards []types.Shard) (a, b types.Shard, err error) {
	begins := map[string]types.Shard{}
	for _, s := range shards {
		begins[*s.HashKeyRange.StartingHashKey] = s
	}
	for _, a := range shards {
		end, ok := new(big.Int).SetString(*a.HashKeyRange.EndingHashKey, 10)
		if !ok {
			return a, b, fmt.Errorf("hash key %q is not a number", *a.HashKeyRange.EndingHashKey)
		}
		if b, there := begins[end.Add(end, big.NewInt(1)).String()]; there {
			return a, b, nil
		}
	}
	return a, b, errors.New("no two open shards have adjacent hash keys")
}

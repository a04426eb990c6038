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

// Width is the part of all hash keys that a shard has, 0 to 1.
func Width(shard types.Shard) float64 {
	lo, ok1 := new(big.Float).SetString(*shard.HashKeyRange.StartingHashKey)
	hi, ok2 := new(big.Float).SetString(*shard.HashKeyRange.EndingHashKey)
	if !ok1 || !ok2 {
		return 0
	}
	all := new(big.Float).SetInt(new(big.Int).Lsh(big.NewInt(1), 128))
	width, _ := new(big.Float).Quo(hi.Sub(hi, lo), all).Float64()
	return width
}

// ErrNoNeighbours says that no two of the shards can be merged.
var ErrNoNeighbours = errors.New("no two open shards have adjacent hash keys")

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
	return a, b, ErrNoNeighbours
}

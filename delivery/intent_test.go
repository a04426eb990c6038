package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

func drawPosition(t *rapid.T, label string) standpipe.Position {
	return standpipe.Position{
		Sequence: rapid.OneOf(rapid.SampledFrom([]string{standpipe.TrimHorizon, standpipe.ShardEnd}), rapid.StringMatching(`[1-9][0-9]{0,55}`)).Draw(t, label),
		Sub:      rapid.Int64Range(0, 1000).Draw(t, label+" sub"),
	}
}

func drawTime(t *rapid.T, label string) time.Time {
	return time.UnixMilli(rapid.Int64Range(1, 4e12).Draw(t, label)).UTC()
}

func drawPlan(t *rapid.T) Plan {
	p := Plan{
		Origin: manifest.Origin{Stream: "s", Created: drawTime(t, "created"), Incarnation: "i", Shard: shardID(1)},
		Reason: rapid.SampledFrom(standpipe.SealReasons).Draw(t, "reason"), Objects: []PlannedObject{},
		First: rapid.StringMatching(`[0-9]{1,56}`).Draw(t, "first"), Records: rapid.Int64Range(0, 1e6).Draw(t, "records"), Seen: drawTime(t, "seen"),
	}
	for range rapid.IntRange(0, 20).Draw(t, "objects") {
		text := rapid.String()
		o := PlannedObject{
			Upload: sink.Upload{
				Object: sink.Object{Key: text.Draw(t, "key"), Metadata: map[string]string{manifest.MetaIntent: text.Draw(t, "meta")}},
				ID:     text.Draw(t, "id"), Parts: []sink.Part{{ETag: text.Draw(t, "etag"), Size: rapid.Int64().Draw(t, "size"), CRC32: rapid.Uint32().Draw(t, "crc")}},
			},
			Prefix: text.Draw(t, "prefix"),
			Contents: manifest.Contents{
				Records: rapid.Int64().Draw(t, "n"), Hash: "00000000000000000000000000000001",
				ArrivalMin: drawTime(t, "min"), ArrivalMax: drawTime(t, "max"),
			},
			Ordinals: []standpipe.Run{{Start: rapid.Int64().Draw(t, "start"), Count: rapid.Int64().Draw(t, "count")}},
		}
		p.Objects = append(p.Objects, o)
	}
	if rapid.Bool().Draw(t, "gap") {
		p.Gaps = []standpipe.Gap{{After: drawPosition(t, "after"), Before: "7", Certain: true}}
		p.Children = []standpipe.ShardID{shardID(2), shardID(3)}
	}
	return p
}

func TestIntentsAndPlansComeBackAsTheyWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := drawPlan(t)
		i := Intent{
			Version: intentVersion, ID: FlushID{rapid.Int64().Draw(t, "epoch"), rapid.Int64().Draw(t, "flush"), "r"},
			Rev: rapid.Int().Draw(t, "rev"), Base: drawPosition(t, "base"), Last: drawPosition(t, "last"),
			Number: rapid.Int64().Draw(t, "number"), Opened: drawTime(t, "opened"), Sink: rapid.String().Draw(t, "sink"),
		}
		object := i.embed(plan, "key", inlineMax)
		state := encodeIntent(i)
		if len(state) > inlineMax && object == nil {
			t.Fatalf("an intent of %d bytes carries its plan", len(state))
		}
		back, err := decodeIntent(state)
		if err != nil {
			t.Fatal(err)
		}
		got := plan
		if object != nil {
			if got, err = decodePlan(object, back.PlanSHA256); err != nil {
				t.Fatal(err)
			}
			object[rapid.IntRange(0, len(object)-1).Draw(t, "flip")] ^= 1
			if _, err := decodePlan(object, back.PlanSHA256); err == nil {
				t.Fatal("a damaged plan was taken")
			}
		} else {
			got = *back.Plan
		}
		if d := cmp.Diff(plan, got); d != "" {
			t.Fatal(d)
		}
		if !bytes.Equal(encodeIntent(back), state) {
			t.Fatal("encoding again gives other bytes: the intent would not be known as ours")
		}
	})
}

func TestAManifestIsAFunctionOfItsPlanAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := drawPlan(t)
		i := Intent{Version: intentVersion, Number: 3, Base: drawPosition(t, "base"), Last: drawPosition(t, "last")}
		i.embed(plan, "key", inlineMax)
		a, err := newManifest(i, plan)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodePlan(b, digest(b))
		if err != nil {
			t.Fatal(err)
		}
		second, err := newManifest(i, again)
		if err != nil || !bytes.Equal(a.Encode(), second.Encode()) {
			t.Fatalf("two publishers of one intent write different manifests (%v)", err)
		}
	})
}

func FuzzDecodeIntent(f *testing.F) {
	i := Intent{Version: intentVersion, ID: FlushID{1, 2, "r"}, Base: standpipe.Position{Sequence: "1"}, Last: standpipe.Position{Sequence: "2", Sub: 1}, Sink: "s3://b"}
	i.embed(Plan{Objects: []PlannedObject{}}, "k", inlineMax)
	f.Add(encodeIntent(i))
	for _, s := range []string{"", "{}", "null", `{"v":1}`, `{"v":2}`, `{"v":1,"new":0}`, `{"v":"1"}`, `{"v":1}{"v":2}`, "\xff", `{"v":1,"plan":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := decodeIntent(b)
		if err != nil {
			if !errors.Is(err, errIntentVersion) {
				t.Fatalf("an intent nobody understands gave %v", err)
			}
			return
		}
		if i.Version != intentVersion {
			t.Fatalf("version %d was taken", i.Version)
		}
		again, err := decodeIntent(encodeIntent(i))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if d := cmp.Diff(i, again); d != "" {
			t.Fatal(d)
		}
	})
}

func TestAnIntentWithWhatThisVersionDoesNotKnowIsRefused(t *testing.T) {
	for _, s := range []string{`{"v":2}`, `{"v":0}`, `{}`, ``, `{"v":1,"more":1}`, `{"v":1} {"v":1}`, `{"v":1,"id":{"nonce":3}}`} {
		if i, err := decodeIntent([]byte(s)); !errors.Is(err, errIntentVersion) {
			t.Errorf("%s gave %+v, %v", s, i, err)
		}
	}
	if _, err := newManifest(Intent{}, Plan{Objects: []PlannedObject{{Contents: manifest.Contents{Hash: "zz"}}}}); err == nil || !strings.Contains(err.Error(), "hexadecimal") {
		t.Errorf("a plan with a damaged hash gave %v", err)
	}
}

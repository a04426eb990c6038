package redrive

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// The lines are those that people have published of real objects, and the
// variants of Firehose's documents.
func TestEverySpellingOfAnErrorRecordIsRead(t *testing.T) {
	const arn = "arn:aws:lambda:eu-west-2:000000000000:function:f:$LATEST"
	for name, c := range map[string]struct {
		line string
		want []string // raw|code|message|function, or the error
	}{
		"today": {
			`{"rawData":"RkFJTCB0aGlzIG9uZQo=","errorCode":"Lambda.ProcessingFailedStatus","errorMessage":"ProcessingFailed status set for record","attemptsMade":1,"arrivalTimestamp":1789014240448,"attemptEndingTimestamp":1789014301529,"lambdaARN":"` + arn + `"}`,
			[]string{"FAIL this one\n|Lambda.ProcessingFailedStatus|ProcessingFailed status set for record|" + arn},
		},
		"until 2022, numbers as the documents show them": {
			`{"attemptsMade":"4","arrivalTimestamp":"1741088912364","errorCode":"Lambda.FunctionError","errorMessage":"m","attemptEndingTimestamp":"1741089007666","rawData":"YQ==","lambdaArn":"` + arn + `"}`,
			[]string{"a|Lambda.FunctionError|m|" + arn},
		},
		"format conversion": {
			`{"attemptsMade":1,"arrivalTimestamp":1,"lastErrorCode":"DataFormatConversion.MalformedData","lastErrorMessage":"Data does not match the schema.","attemptEndingTimestamp":2,"rawData":"e30=","sequenceNumber":null,"subSequenceNumber":0,"dataCatalogTable":{"databaseName":"db"}}`,
			[]string{"{}|DataFormatConversion.MalformedData|Data does not match the schema.|"},
		},
		"format conversion of the documents": {
			`{"ErrorCode":"X","ErrorMessage":"m","rawData":"YQ=="}`, []string{"a|X|m|"},
		},
		"back to back":       {`{"rawData":"YQ=="}{"rawData":"Yg=="} {"rawData":""}`, []string{"a|||", "b|||", "|||"}},
		"an empty line":      {" \r\n", nil},
		"no data":            {`{"errorCode":"X"}{"rawData":null}`, []string{"it has no rawData", "it has no rawData"}},
		"no base64, then ok": {`{"rawData":"%%"}{"rawData":"YQ=="}`, []string{"its rawData is no base64", "a|||"}},
		"another type":       {`[1]{"rawData":7}{"rawData":"YQ=="}`, []string{"it is no error record: a field has another type", "it is no error record: a field has another type", "a|||"}},
		"cut":                {`{"rawData":"YQ=="}{"rawData":"Y`, []string{"a|||", "it is no JSON"}},
		"text":               {`secret payload`, []string{"it is no JSON"}},
	} {
		var got []string
		err := Parse([]byte(c.line), func(f Failure, err error) error {
			if err != nil {
				got = append(got, err.Error())
			} else {
				got = append(got, strings.Join([]string{string(f.Raw), f.Code, f.Message, f.Function}, "|"))
			}
			return nil
		})
		if err != nil || strings.Join(got, "\x00") != strings.Join(c.want, "\x00") {
			t.Errorf("%s: %v %q, want %q", name, err, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"rawData":"YQ==","errorCode":"X"}`, `{"rawData":"YQ=="}{"rawData":"%"}`, `{"rawData":null}`, `[{}]`, `{"lambdaARN":1}x`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		seen := 0
		err := Parse(line, func(f Failure, err error) error {
			seen++
			if err != nil && f.Raw != nil {
				t.Error("data beside an error")
			}
			return nil
		})
		if err != nil {
			t.Errorf("an error that visit did not give: %v", err)
		}
		if seen == 0 && len(bytes.TrimSpace(line)) > 0 {
			t.Error("a line vanished")
		}
	})
}

func entriesOf(t *testing.T, r io.Reader) (all []entry) {
	t.Helper()
	if err := readBody(r, "k", func(e entry) error { all = append(all, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestALineThatIsTooLongIsNamedAndPassedOver(t *testing.T) {
	long := strings.Repeat("x", LineMax+1)
	all := entriesOf(t, strings.NewReader("{\"rawData\":\"YQ==\"}\n"+long+"\n{\"rawData\":\"Yg==\"}"))
	if len(all) != 3 || all[0].err != nil || !errors.Is(all[1].err, errLong) || all[1].line != 2 || string(all[2].failure.Raw) != "b" || all[2].line != 3 || all[2].number != 2 {
		t.Fatalf("%d entries", len(all))
	}
}

func TestTheReadablePartOfADamagedObjectIsReadAndTheRestNamed(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, "{\"rawData\":\"YQ==\"}\n")
	_ = w.Flush()
	_, _ = io.WriteString(w, strings.Repeat("{\"rawData\":\"Yg==\"}\n", 100))
	_ = w.Close()
	all := entriesOf(t, bytes.NewReader(b.Bytes()[:b.Len()-20]))
	last := all[len(all)-1]
	if len(all) < 2 || all[0].err != nil || last.err == nil || !strings.Contains(last.err.Error(), "rest of the object") {
		t.Fatalf("%+v", all)
	}
}

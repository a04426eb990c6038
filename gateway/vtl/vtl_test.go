package vtl_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/standpipe/standpipe/gateway/vtl"
)

func TestWhatIsNotSupportedIsAnErrorWithItsPlace(t *testing.T) {
	for source, want := range map[string]string{
		"a\n #frob($s)":                 "line 2, column 2: unknown directive #frob; for the text itself write #[[#]]#frob",
		"#macro(x)#end":                 "line 1, column 1: #macro is not supported: a mapping template has #set, #if, #elseif, #else, #foreach, #break, #stop and #end",
		"#if($yes)\nx":                  "line 1, column 1: #if has no #end",
		"x #end":                        "line 1, column 3: #end without its beginning",
		"#if($yes)#else#else#end":       "line 1, column 15: #else after #else",
		"#foreach($x in $l)#else#end":   "line 1, column 19: #else within #foreach has no #if",
		"#foreach($x of $l)#end":        "line 1, column 13: #foreach wants the word in after the variable, found 'o'",
		"#set($x == 1)":                 "line 1, column 9: #set wants = after the variable, found '='",
		"#set($input = 1)":              "line 1, column 1: $input belongs to API Gateway and cannot be set",
		"#set($x = null)":               "line 1, column 11: the language has no null; a variable that was never set is as good",
		"#set($x = \"abc)":              `line 1, column 11: a text that begins with " has no end`,
		"#set($x = \"#if(1)\")":         "line 1, column 12: #if has no #end",
		"한글 ${s":                        "line 1, column 7: expected } to end the reference ${s, found the end",
		"$s.substring(1":                "line 1, column 15: expected , or ) in the arguments of substring, found the end",
		"$s.nope(1)":                    "line 1, column 3: a text has no method nope with 1 arguments that is supported here",
		"$n.nope()":                     "line 1, column 3: a number has no method nope with 0 arguments that is supported here",
		"\n$list[7]":                    "line 2, column 6: index 7 is outside of a list of 3 items",
		"$s.substring(9)":               "line 1, column 3: from 9 to 4 is outside of a text of 4 characters",
		"$s.matches('(')":               "line 1, column 3: regular expression: missing closing )",
		"#set($nope.x = 1)":             "line 1, column 1: cannot set $nope.x: what it belongs to has no value",
		"#set($m = {'a' 1})":            "line 1, column 16: expected : after the key, found '1'",
		"#* never closed":               "line 1, column 1: a comment that begins with #* has no *#",
		"#set($s.length() = 1)":         "line 1, column 1: #set cannot assign to what a method returns",
		"#foreach($x in [1..2000])#end": "line 1, column 16: a range of more than 1000 numbers",
	} {
		_, err := render(t, source)
		if err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", source, err, want)
		}
	}
}

func TestARenderEndsWhateverTheTemplateDoes(t *testing.T) {
	deep := strings.Repeat("#if(true)", 100) + strings.Repeat("#end", 100)
	doubling := "#set($x = 'x')#foreach($i in [1..1000])#set($x = \"$x$x\")#end"
	square := "#set($x = 9)#foreach($i in [1..100])#set($x = $x * $x)#end"
	nested := "#foreach($a in [1..1000])#foreach($b in [1..1000])#foreach($c in [1..1000])#end#end#end"
	within := "#set($m = {})#set($ok = $m.put('m', $m))$!ok$m"
	lists := "#set($l = ['x'])#foreach($i in [1..100])#set($l = [$l, $l])#end$l"
	growing := "#set($l = [1])#foreach($i in [1..100])#set($ok = $l.addAll($l))#end"
	replacing := "#set($x = 'aaaaaaaaaa')#foreach($i in [1..100])#set($x = $x.replace('a', $x))#end"
	matching := "#set($x = 'aaaaaaaaaa')#foreach($i in [1..100])#set($x = $x.replaceAll('a', '$0$0$0$0$0$0$0$0'))#end"
	brackets := "#set($x = " + strings.Repeat("[", 1000)
	nots := "#if(" + strings.Repeat("!", 1000) + "$x)#end"
	for name, source := range map[string]string{
		"deep": deep, "doubling": doubling, "square": square, "nested": nested, "within itself": within, "lists": lists,
		"growing": growing, "replacing": replacing, "matching": matching, "brackets": brackets, "nots": nots, "long": strings.Repeat("x", 400<<10),
	} {
		if _, err := render(t, source); err == nil {
			t.Errorf("%s: no limit was met", name)
		} else if _, placed := errors.AsType[*vtl.Error](err); !placed {
			t.Errorf("%s: %v has no place", name, err)
		}
	}
}

func TestARenderEndsWithItsContext(t *testing.T) {
	tmpl, err := vtl.Parse("#foreach($a in [1..1000])#foreach($b in [1..500])x#end#end")
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("the caller went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := tmpl.Render(ctx, nil, vtl.Limits{}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestOutputHasItsLimit(t *testing.T) {
	tmpl, err := vtl.Parse("12345$s")
	if err != nil {
		t.Fatal(err)
	}
	for limit, ok := range map[int]bool{9: true, 8: false} {
		if _, err := tmpl.Render(t.Context(), variables(t), vtl.Limits{Output: limit}); (err == nil) != ok {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestATemplateIsRenderedByManyAtOnce(t *testing.T) {
	tmpl, err := vtl.Parse("#set($x = \"$s$n\")#foreach($w in $words)$x$w#end")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			vars := variables(t)
			vars["n"] = int64(i)
			want := fmt.Sprintf("text%[1]dxtext%[1]dytext%[1]dz", i)
			if got, err := tmpl.Render(context.Background(), vars, vtl.Limits{}); got != want || err != nil {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
		})
	}
	group.Wait()
}

func TestUsesNameEveryReference(t *testing.T) {
	tmpl, err := vtl.Parse("$a\n#set($x = \"$input.params('k').b\")#if($c[1])#end")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]vtl.Use{}
	for _, u := range tmpl.Uses() {
		got[u.Name] = u
	}
	if u := got["input"]; len(got) != 4 || u.Line != 2 || u.Column != 12 || u.Argument != "k" || strings.Join(u.Path, ".") != "params.b" {
		t.Errorf("%+v", got)
	}
}

func FuzzTemplateNeverPanics(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.Template)
	}
	f.Fuzz(func(t *testing.T, source string) {
		tmpl, err := vtl.Parse(source)
		if err == nil {
			_, err = tmpl.Render(t.Context(), variables(t), vtl.Limits{Steps: 10_000, Bytes: 1 << 20, Output: 1 << 16})
		}
		if e, placed := errors.AsType[*vtl.Error](err); err != nil && (!placed || e.Line < 1 || e.Column < 1) {
			t.Fatalf("%q: %v has no place", source, err)
		}
	})
}

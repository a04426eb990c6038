// Package safeyaml is the YAML parser behind a fence, for files that anybody may
// hand over: it bounds their nesting before the parser sees it, whose time grows
// faster than the depth, and turns its panics on malformed input into errors.
//
// It imports nothing of ours.
package safeyaml

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Parse parses YAML or JSON that nests at most so many levels: brackets, or
// indicators on one line. Names given twice are kept, for the caller to refuse.
// Errors with a place are yaml.Error. The size of the text is the caller's to
// bound.
func Parse(text string, levels int) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			file, err = nil, fmt.Errorf("it cannot be understood: %v", p)
		}
	}()
	tokens := lexer.Tokenize(text)
	if deep := tooDeep(tokens, levels); deep != nil {
		return nil, &yaml.SyntaxError{Message: fmt.Sprintf("nested deeper than %d levels", levels), Token: deep}
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// tooDeep returns the first token beyond the levels.
func tooDeep(tokens token.Tokens, levels int) *token.Token {
	brackets, line, onLine := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, onLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			brackets++
		case token.MappingEndType, token.SequenceEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			onLine++
		}
		if brackets > levels || onLine > levels {
			return t
		}
	}
	return nil
}

// Place is where a token stands, in lines and characters from 1; the beginning
// of the text for none.
func Place(t *token.Token) (line, column int) {
	if t == nil || t.Position == nil {
		return 1, 1
	}
	return max(t.Position.Line, 1), max(t.Position.Column, 1)
}

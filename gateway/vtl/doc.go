// Package vtl interprets API Gateway's mapping templates: the part of the
// Velocity Template Language that its users write.
//
// A template is parsed once into a tree (parse.go, expr.go) and rendered many
// times (render.go) with variables the caller gives. The package promises:
//
//   - What it accepts renders as Velocity 1.7 renders it. The goldens in
//     testdata were written by Velocity 1.7; ours_test.go lists where we differ,
//     each with its reason.
//   - Anything else is an *Error with line and column, at the parse where it can
//     be seen there: unknown directives, macros, includes, methods that no value
//     has. Velocity prints many of these as text, which nobody wants to find in
//     an archive.
//   - A render ends: steps, bytes made, output and loop rounds are limited, and
//     nesting is limited by the parser. Nothing in a template reaches files, the
//     network, the clock or Go's reflection.
//
// A Template may be rendered by many goroutines at once.
package vtl

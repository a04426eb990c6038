// Package config reads the settings of one delivery stream: a YAML document in
// Amazon Data Firehose's own field names, units, defaults and messages, and a
// Standpipe section for what Firehose lacks.
//
// It promises:
//
//   - Strict. An unknown key, a key given twice, a second document, a number
//     with a leading zero, a time without a unit, an anchor: each is a problem,
//     never a guess. A Firehose feature that is not built is refused by name.
//   - Everything at once. One run shows every problem with its line, its column
//     and what to write instead, see Problems.
//   - Text from the environment only where ${NAME} asks for it, put in after
//     parsing, inside string scalars: a value can never become structure.
//   - Settings only. It builds nothing, opens nothing and imports no component;
//     what a prefix or a time zone may be is asked of the caller, see Validators.
//
// The way of a document:
//
//	bytes → YAML tree → (one walk: keys, types, ranges, ${NAME}) → relations → Config
//	                         └──────────────── problems, sorted by place ────────┘
package config

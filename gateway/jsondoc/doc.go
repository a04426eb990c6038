// Package jsondoc reads, prints and searches JSON the way API Gateway's
// $input.json and $input.path do.
//
// That service is Java: Jayway JsonPath over json-smart. Its answers to users
// are not what a strict parser gives: text that is hardly JSON is accepted and
// normalised, only the first document of a body counts, numbers are rendered
// anew, some characters become \uXXXX. The archive holds what this package
// prints, so it promises the same bytes. The goldens in testdata were written
// by json-smart 2.2.
//
// Values are nil, bool, string, int64, *big.Int, float64, Decimal, *Map and
// *List. Nothing here keeps state; values are not safe for concurrent writes.
package jsondoc

package api

import (
	"github.com/danielgtaylor/huma/v2"
	"github.com/shopspring/decimal"
)

// Integer is a whole number of any size: sums of quantities may leave every
// machine word. Its JSON is a number.
type Integer struct{ n decimal.Decimal }

// IntegerOf returns the Integer of n.
func IntegerOf(n int64) Integer { return Integer{decimal.NewFromInt(n)} }

// Plus returns i + n.
func (i Integer) Plus(n int64) Integer { return Integer{i.n.Add(decimal.NewFromInt(n))} }

// Minus returns i - n.
func (i Integer) Minus(n int64) Integer { return Integer{i.n.Sub(decimal.NewFromInt(n))} }

// String returns the digits.
func (i Integer) String() string { return i.n.String() }

// MarshalJSON writes the digits.
func (i Integer) MarshalJSON() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalJSON reads what MarshalJSON wrote.
func (i *Integer) UnmarshalJSON(text []byte) error { return i.n.UnmarshalJSON(text) }

// Schema says in the OpenAPI document what the JSON is.
func (Integer) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeInteger} }

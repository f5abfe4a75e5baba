package gateway

import _ "embed"

//go:embed banyan.schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of a configuration file, which
// editors use for completion. It says less than Check, which knows what belongs
// together.
func Schema() []byte { return schema }

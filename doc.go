// Package banyan is the vocabulary that every other package speaks: events,
// the metadata that links them, the registry of their Go types and schema
// versions, and the kinds of errors. It imports the standard library only.
//
// A fact is an [Event] in a stream. The store keeps events (package store);
// everything else reads them. Payloads are plain Go values: a [Types] registry
// maps them to a name and a schema version and back, through upcasters where a
// stored version is older than the code.
//
// All values of this package are safe for concurrent use once built.
package banyan

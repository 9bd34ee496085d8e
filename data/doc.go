// Package data turns a place where images lie into batches of normalised
// float32 views.
package data

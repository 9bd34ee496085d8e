// Package tensor holds shapes, typed arrays and safetensors files. It knows no graph.
package tensor

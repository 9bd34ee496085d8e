// Package tensor holds shapes, typed arrays and safetensors files: a leaf without a graph.
package tensor

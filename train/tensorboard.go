package train

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"sort"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// eventFile appends scalars to a TensorBoard event file. The format is a sequence of TFRecords
// (length, masked CRC-32C, payload, masked CRC-32C), each payload a tensorflow.Event message; the
// field numbers below are those of tensorflow/core/util/event.proto and framework/summary.proto.
type eventFile struct{ f *os.File }

const (
	eventWallTime    protowire.Number = 1 // double
	eventStep        protowire.Number = 2 // int64
	eventFileVersion protowire.Number = 3 // string
	eventSummary     protowire.Number = 5 // Summary
	eventSessionLog  protowire.Number = 7 // SessionLog
	sessionStatus    protowire.Number = 1 // START = 1
	summaryValue     protowire.Number = 1 // Summary.Value
	valueTag         protowire.Number = 1 // string
	valueSimple      protowire.Number = 2 // float
)

// newEventFile starts a file of its own for this process, so that an earlier process's file is
// never touched. Its session start tells TensorBoard to drop the points of earlier processes at and
// after first, the first step of this process.
func newEventFile(dir string, first int) (*eventFile, error) {
	now := time.Now()
	for n := 0; ; n++ {
		name := filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%010d.%d.vittool", now.Unix(), n))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if os.IsExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("create TensorBoard file: %w", err)
		}
		e := &eventFile{f}
		version := protowire.AppendTag(event(now, 0), eventFileVersion, protowire.BytesType)
		version = protowire.AppendString(version, "brain.Event:2")
		session := protowire.AppendTag(nil, sessionStatus, protowire.VarintType)
		session = protowire.AppendVarint(session, 1)
		start := protowire.AppendTag(event(now, first), eventSessionLog, protowire.BytesType)
		start = protowire.AppendBytes(start, session)
		if err := e.append(record(version), record(start)); err != nil {
			return nil, err
		}
		return e, nil
	}
}

// scalars appends one event with the given values in order of their names.
func (e *eventFile) scalars(step int, values map[string]float64) error {
	tags := make([]string, 0, len(values))
	for tag := range values {
		tags = append(tags, tag)
	}
	sort.Strings(tags)
	var summary []byte
	for _, tag := range tags {
		value := protowire.AppendTag(nil, valueTag, protowire.BytesType)
		value = protowire.AppendString(value, tag)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(values[tag])))
		summary = protowire.AppendTag(summary, summaryValue, protowire.BytesType)
		summary = protowire.AppendBytes(summary, value)
	}
	ev := protowire.AppendTag(event(time.Now(), step), eventSummary, protowire.BytesType)
	return e.append(record(protowire.AppendBytes(ev, summary)))
}

// append writes whole records in one call, so that a kill leaves no torn one.
func (e *eventFile) append(records ...[]byte) error {
	var all []byte
	for _, r := range records {
		all = append(all, r...)
	}
	_, err := e.f.Write(all)
	return err
}

func (e *eventFile) Close() error {
	if e == nil {
		return nil
	}
	return e.f.Close()
}

func event(at time.Time, step int) []byte {
	b := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(at.UnixNano())/1e9))
	b = protowire.AppendTag(b, eventStep, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(step))
}

func record(payload []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(payload))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is the rotated checksum of the TFRecord format, which keeps a record that holds records
// from having trivial checksums.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

package weir

import (
	"encoding/json"
	"reflect"

	"github.com/weirstream/weir/core/topology"
)

// A TopicInfo describes a topic to tools, with its codecs.
type TopicInfo struct {
	topology.Topic
	key, value toolCodec
}

// A TableInfo describes a table to tools, with its codecs.
type TableInfo struct {
	topology.Table
	// Log is the topic that holds the table: its changelog, or for a global
	// table its source.
	Log        string
	key, value toolCodec
}

// A toolCodec is a codec behind JSON.
type toolCodec struct {
	decode func(b []byte) (any, error)
	encode func(text string) ([]byte, error)
}

// Topics returns the topics of the application by declaration, then those
// only named as dead-letter or late topics. Changelogs are not among them.
func (a *App) Topics() []TopicInfo {
	var infos []TopicInfo
	seen := make(map[string]bool)
	for _, t := range a.topics {
		if !seen[t.spec.Name] {
			seen[t.spec.Name] = true
			info := t.info
			info.Topic = t.spec
			infos = append(infos, info)
		}
	}
	for _, t := range a.Graph().Topics {
		if !seen[t.Name] {
			seen[t.Name] = true
			infos = append(infos, TopicInfo{t, toolCodecOf(Bytes{}), toolCodecOf(Bytes{})})
		}
	}
	return infos
}

// Tables returns the tables of the application by declaration.
func (a *App) Tables() []TableInfo {
	var infos []TableInfo
	for _, t := range a.tables {
		info := t.info
		info.Table = t.spec
		if info.Log = t.spec.Source; !t.spec.Global() {
			info.Log = topology.ChangelogTopic(a.name, t.spec.Name)
		}
		infos = append(infos, info)
	}
	return infos
}

// DecodeKey returns the key that bytes stand for as something that
// encoding/json can print: nil for null.
func (i TopicInfo) DecodeKey(b []byte) (any, error) { return i.key.decode(b) }

// DecodeValue returns the value that bytes stand for, like DecodeKey.
func (i TopicInfo) DecodeValue(b []byte) (any, error) { return i.value.decode(b) }

// EncodeKeyJSON returns the bytes of the key that a JSON text stands for;
// null gives null. For string keys, text that is no JSON string is the key
// itself; for byte slices, a JSON string is base64 and anything else the bytes.
func (i TopicInfo) EncodeKeyJSON(text string) ([]byte, error) { return i.key.encode(text) }

// EncodeValueJSON returns the bytes of a value, like EncodeKeyJSON.
func (i TopicInfo) EncodeValueJSON(text string) ([]byte, error) { return i.value.encode(text) }

// Split takes a storage key apart: for a windowed table into the start of the
// window, in Unix milliseconds, and the key; windowed is false otherwise.
func (i TableInfo) Split(storageKey []byte) (start int64, key []byte, windowed bool) {
	if i.Window != nil {
		if start, key, ok := topology.SplitWindowKey(storageKey); ok {
			return start, key, true
		}
	}
	return 0, storageKey, false
}

// DecodeKey returns the key that bytes stand for as something that
// encoding/json can print. The bytes are those of the key alone; use Split
// first on storage keys.
func (i TableInfo) DecodeKey(b []byte) (any, error) { return i.key.decode(b) }

// DecodeValue returns the value that bytes stand for, like DecodeKey.
func (i TableInfo) DecodeValue(b []byte) (any, error) { return i.value.decode(b) }

// EncodeKeyJSON returns the bytes of a key, as of TopicInfo; for windowed
// tables topology.WindowKey adds the window.
func (i TableInfo) EncodeKeyJSON(text string) ([]byte, error) { return i.key.encode(text) }

func topicInfo[K, V any](t *Topic[K, V]) TopicInfo {
	return TopicInfo{key: toolCodecOf(t.keys), value: toolCodecOf(t.values)}
}

func tableInfo[K, V any](t tableBase[K, V]) TableInfo {
	return TableInfo{key: toolCodecOf(t.keys), value: toolCodecOf(t.values)}
}

func toolCodecOf[T any](c Codec[T]) toolCodec {
	return toolCodec{
		decode: func(b []byte) (any, error) {
			if b == nil {
				return nil, nil
			}
			return c.Decode(b)
		},
		encode: func(text string) ([]byte, error) {
			v, null, err := parse[T](text)
			if null || err != nil {
				return nil, err
			}
			return encode(c, v)
		},
	}
}

// parse reads a value as people type it.
func parse[T any](text string) (v T, null bool, err error) {
	err = json.Unmarshal([]byte(text), &v)
	rv := reflect.ValueOf(&v).Elem()
	switch {
	case rv.Kind() == reflect.String:
		if err != nil || text == "null" {
			rv.SetString(text)
		}
		return v, false, nil
	case text == "null":
		return v, true, nil
	case rv.Kind() == reflect.Slice && rv.Type().Elem().Kind() == reflect.Uint8 && err != nil:
		rv.SetBytes([]byte(text))
		return v, false, nil //nolint:nilerr // text that is no JSON is the bytes themselves
	}
	return v, false, err
}

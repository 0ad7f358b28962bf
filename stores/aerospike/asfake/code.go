package asfake

import "fmt"

// A Code is the result of an operation, as the wire has it.
type Code byte

// The codes that the fake gives, and some that faults may.
const (
	OK                   Code = 0
	ServerError          Code = 1
	KeyNotFound          Code = 2
	GenerationError      Code = 3
	ParameterError       Code = 4
	KeyExists            Code = 5
	ServerMemError       Code = 8
	Timeout              Code = 9
	PartitionUnavailable Code = 11
	BinTypeError         Code = 12
	RecordTooBig         Code = 13
	KeyBusy              Code = 14
	UnsupportedFeature   Code = 16
	DeviceOverload       Code = 18
	InvalidNamespace     Code = 20
	BinNameTooLong       Code = 21
	Forbidden            Code = 22
	EnterpriseOnly       Code = 25

	invalidUser      Code = 60
	invalidPassword  Code = 62
	notAuthenticated Code = 80
)

// String names the code like the server's documentation does.
func (c Code) String() string {
	switch c {
	case OK:
		return "OK"
	case ServerError:
		return "SERVER_ERROR"
	case KeyNotFound:
		return "KEY_NOT_FOUND"
	case GenerationError:
		return "GENERATION_ERROR"
	case ParameterError:
		return "PARAMETER_ERROR"
	case KeyExists:
		return "KEY_EXISTS"
	case ServerMemError:
		return "SERVER_MEM_ERROR"
	case Timeout:
		return "TIMEOUT"
	case PartitionUnavailable:
		return "PARTITION_UNAVAILABLE"
	case BinTypeError:
		return "BIN_TYPE_ERROR"
	case RecordTooBig:
		return "RECORD_TOO_BIG"
	case KeyBusy:
		return "KEY_BUSY"
	case UnsupportedFeature:
		return "UNSUPPORTED_FEATURE"
	case DeviceOverload:
		return "DEVICE_OVERLOAD"
	case BinNameTooLong:
		return "BIN_NAME_TOO_LONG"
	case InvalidNamespace:
		return "INVALID_NAMESPACE"
	case Forbidden:
		return "FORBIDDEN"
	case EnterpriseOnly:
		return "ENTERPRISE_ONLY"
	default:
		return fmt.Sprintf("CODE_%d", byte(c))
	}
}

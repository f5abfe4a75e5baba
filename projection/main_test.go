package projection_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

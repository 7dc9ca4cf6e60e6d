"""x402 by itself."""

import pytest

pytest.register_assert_rewrite("tests.x402.replicas")

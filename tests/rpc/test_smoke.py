from privyseal.v1 import signing_service_pb2 as pb
from service import STRANGER, Service, Stubs, failure_of, import_key


async def test_a_signed_request_is_returned_whole(operator: Stubs) -> None:
    """Sign returns URL, headers and body."""
    await import_key(operator, "wb", "whitebit", "test-secret", api_key="test-key")
    request = pb.SignRequest(key="keys/wb")
    request.http_request.method, request.http_request.path = "POST", "/api/v4/orders"
    answer = await operator.signing.Sign(request)
    assert answer.signed_http_request.url.endswith("/api/v4/orders")


async def test_a_stranger_is_denied(service: Service) -> None:
    """A caller without a rule is refused, whether the key exists or not."""
    stubs = await service.as_caller(STRANGER)
    failure = await failure_of(stubs.signing.Sign(pb.SignRequest(key="keys/wb")))
    assert ("INVALID_ARGUMENT", "FIELD_INVALID") == (failure.code, failure.reason)

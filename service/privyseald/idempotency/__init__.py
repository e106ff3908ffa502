from privyseald.idempotency.request_id import canonical_id as canonical_id

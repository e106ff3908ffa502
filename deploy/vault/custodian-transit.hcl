# custodian-transit.hcl
# Beside custodian.hcl, where keys live in the transit engine: to put them there as well.
path "transit/hmac/*" {
  capabilities = ["update"]
}
path "transit/sign/*" {
  capabilities = ["update"]
}
path "transit/keys/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "transit/wrapping_key" {
  capabilities = ["read"]
}

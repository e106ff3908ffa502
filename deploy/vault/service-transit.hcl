# service-transit.hcl
# Beside service.hcl, where keys live in the transit engine: to sign with them.
path "transit/hmac/*" {
  capabilities = ["update"]
}
path "transit/sign/*" {
  capabilities = ["update"]
}
path "transit/keys/*" {
  capabilities = ["read"]
}

# custodian.hcl
# A server that also creates, imports, disables and deletes keys.
path "signer/data/keys/*" {
  capabilities = ["create", "read", "update"]
}
path "signer/metadata/keys/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "signer/metadata/keys" {
  capabilities = ["list"]
}

# custodian.hcl
# A server that also creates, imports, rotates, disables and deletes keys.
path "signer/data/keys/*" {
  capabilities = ["create", "read", "update"]
}
# What a rotation replaced is destroyed when its time is over.
path "signer/destroy/keys/*" {
  capabilities = ["update"]
}
path "signer/metadata/keys/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "signer/metadata/keys" {
  capabilities = ["list"]
}

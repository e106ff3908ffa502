# A Privyseal that signs and logs in with the keys that are there, and changes none.
path "signer/data/keys/*" {
  capabilities = ["read"]
}
path "signer/metadata/keys/*" {
  capabilities = ["read"]
}
path "signer/metadata/keys" {
  capabilities = ["list"]
}

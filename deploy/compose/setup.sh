#!/bin/sh
# Prepares OpenBao's development server once: a place for keys, a policy, a token for the service.
set -eu
bao secrets list -format=json | grep -q '"signer/"' || bao secrets enable -path=signer -version=2 kv
bao policy write privyseal /deploy/vault/custodian.hcl
bao token create -policy=privyseal -period=24h -field=token > /run/vault/token

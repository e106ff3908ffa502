{{/* What follows from the values: each is "true" or empty, or a number or a URL. */}}

{{- define "privyseal.isReplicated" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}true{{ end -}}
{{- end -}}

{{- define "privyseal.stateUrl" -}}
{{- if .Values.valkey.enabled -}}
valkey://{{ include "privyseal.fullname" . }}-valkey.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:6379/0
{{- else -}}
{{ .Values.state.url }}
{{- end -}}
{{- end -}}

{{- define "privyseal.isStateShared" -}}
{{- if ne (include "privyseal.stateUrl" .) "embedded" }}true{{ end -}}
{{- end -}}

{{- define "privyseal.hasTokenPort" -}}
{{- if and .Values.jwt.enabled .Values.tls.clientCa.enabled }}true{{ end -}}
{{- end -}}

{{/* Whether pods go to venues: to log in, to have keys made, or to ask what time it is there. */}}
{{- define "privyseal.asksVenues" -}}
{{- if or .Values.logins.enabled .Values.keyCreation.enabled }}true
{{- else }}
{{- range $venue := .Values.config.venues | default dict }}
{{- if eq (toString $venue.clock_offset_ms) "estimate" }}true{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Seconds from SIGTERM to the end of the longest that a server may still do, and some more. */}}
{{- define "privyseal.terminationSeconds" -}}
{{- $server := .Values.config.server | default dict -}}
{{- $outbound := .Values.config.outbound | default dict -}}
{{- $drain := ternary $server.drain_delay_ms 5000 (hasKey $server "drain_delay_ms") -}}
{{- $grace := ternary $server.grace_ms 20000 (hasKey $server "grace_ms") -}}
{{- $ms := add (int64 $drain) (int64 $grace) -}}
{{- if .Values.keyCreation.enabled -}}
{{- $ms = add $ms 60000 (mul 4 (int64 ($outbound.timeout_ms | default 10000))) -}}
{{- end -}}
{{- add (div (add $ms 999) 1000) (int64 .Values.terminationSlackSeconds) -}}
{{- end -}}

{{/* Where all hosts of a URL end in .svc: their namespaces, as peers. */}}
{{- define "privyseal.peersOfUrl" -}}
{{- $hosts := regexReplaceAll "^[a-z+]+://([^/]+).*$" .url "${1}" -}}
{{- $svc := printf "^(?:[^.]+[.])?[^.]+[.]([^.]+)[.]svc(?:[.]%s)?[.]?$" (regexReplaceAll "[.]" .domain "[.]") -}}
{{- $namespaces := list -}}
{{- range splitList "," $hosts -}}
{{- $host := regexReplaceAll ":[0-9]+$" . "" -}}
{{- $namespaces = append $namespaces (ternary (regexReplaceAll $svc $host "${1}") "" (regexMatch $svc $host)) -}}
{{- end -}}
{{- if not (has "" $namespaces) -}}
{{- range uniq $namespaces }}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The ports in a URL, as a list of numbers: those of its hosts, or what its scheme means. */}}
{{- define "privyseal.portsOfUrl" -}}
{{- $hosts := regexReplaceAll "^[a-z+]+://([^/]+).*$" .url "${1}" -}}
{{- $ports := list -}}
{{- range splitList "," $hosts -}}
{{- if regexMatch "[^:]:[0-9]+$|]:[0-9]+$" . -}}
{{- $ports = append $ports (atoi (regexFind "[0-9]+$" .)) -}}
{{- else -}}
{{- $ports = append $ports $.standard -}}
{{- end -}}
{{- end -}}
{{- if contains "+sentinel:" .url }}{{ $ports = append $ports 6379 }}{{ end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* The seconds of a duration such as 720h or 1h30m. */}}
{{- define "privyseal.secondsOf" -}}
{{- $seconds := 0 -}}
{{- range $unit, $each := dict "h" 3600 "m" 60 "s" 1 -}}
{{- with regexFind (printf "[0-9]+%s" $unit) $ -}}
{{- $seconds = add $seconds (mul $each (trimSuffix $unit . | int64)) -}}
{{- end -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/* How many seconds before its end the server's certificate is renewed, as far as the chart knows; else 60 days. */}}
{{- define "privyseal.renewedSeconds" -}}
{{- $csi := .Values.tls.csi -}}
{{- if and $csi.enabled (eq $csi.driver "csi.cert-manager.io") -}}
{{- $before := index $csi.volumeAttributes "csi.cert-manager.io/renew-before" -}}
{{- $life := index $csi.volumeAttributes "csi.cert-manager.io/duration" | default "2160h" -}}
{{- if $before }}{{ include "privyseal.secondsOf" $before }}{{ else }}{{ div (include "privyseal.secondsOf" $life | int64) 3 }}{{ end -}}
{{- else if $csi.enabled -}}
1200
{{- else if .Values.tls.certManager.enabled -}}
{{- include "privyseal.secondsOf" .Values.tls.certManager.renewBefore -}}
{{- else -}}
5184000
{{- end -}}
{{- end -}}

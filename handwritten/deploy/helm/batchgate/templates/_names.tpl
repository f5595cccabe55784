{{- define "batchgate.name" -}}
{{- if contains "batchgate" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-batchgate" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "batchgate.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "batchgate.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- /* The labels of all pods of the release. */ -}}
{{- define "batchgate.selector" -}}
app.kubernetes.io/name: batchgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "batchgate.labels" -}}
{{ include "batchgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Gateways, or the single process: the pods that callers reach. */ -}}
{{- define "batchgate.front" -}}
{{ ternary "single" "gateway" (eq .Values.mode "single") }}
{{- end }}

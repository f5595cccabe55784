{{- /*
The pod template of a component. Arguments: root, component, part (its values), args, sleep (seconds before SIGTERM), tmp (the
size of /tmp).
*/ -}}
{{- define "batchgate.pod" -}}
{{- $values := .root.Values -}}
{{- $single := eq $values.mode "single" -}}
metadata:
  labels:
    {{- include "batchgate.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  annotations:
    # A change of the settings restarts the pods.
    checksum/settings: {{ $values.settings | sha256sum }}
    {{- if not $values.monitoring.podMonitor.enabled }}
    prometheus.io/scrape: "true"
    prometheus.io/port: "8080"
    {{- end }}
    {{- with .part.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "batchgate.serviceAccount" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  # The setting shutdown_timeout, the sleep below, and time to store the answers.
  terminationGracePeriodSeconds: {{ add $values.shutdownTimeout 30 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    {{- if $single }}
    fsGroupChangePolicy: OnRootMismatch
    {{- end }}
    seccompProfile: {type: RuntimeDefault}
  {{- if not $single }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "batchgate.selector" .root | nindent 10 }}
          app.kubernetes.io/component: {{ .component }}
  {{- end }}
  {{- with .part.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .part.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .part.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: batchgate
      image: "{{ $values.image.repository }}:{{ $values.image.tag | default .root.Chart.AppVersion }}"
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: {{ toJson .args }}
      ports:
        - {name: http, containerPort: 8080}
      env:
        - {name: BATCHGATE_CONFIG, value: /etc/batchgate/batchgate.toml}
        - {name: BATCHGATE_SHUTDOWN_TIMEOUT, value: {{ $values.shutdownTimeout | quote }}}
        {{- if $single }}
        # A folder in the volume, which belongs to the process alone; the volume itself belongs to root.
        - {name: BATCHGATE_DATA_DIR, value: /var/lib/batchgate/data}
        {{- else }}
        - {name: BATCHGATE_DATABASE_URL_FILE, value: /run/secrets/batchgate/database-url}
        {{- end }}
        - {name: BATCHGATE_MASTER_KEY_FILE, value: /run/secrets/batchgate/master-key}
        - name: BATCHGATE_OPERATOR_KEY
          valueFrom: {secretKeyRef: {name: {{ $values.existingSecret }}, key: operator-key}}
        # Better than keys for S3: give the service account a role. Without them in the Secret, these two are not set.
        - name: AWS_ACCESS_KEY_ID
          valueFrom: {secretKeyRef: {name: {{ $values.existingSecret }}, key: aws-access-key-id, optional: true}}
        - name: AWS_SECRET_ACCESS_KEY
          valueFrom: {secretKeyRef: {name: {{ $values.existingSecret }}, key: aws-secret-access-key, optional: true}}
        {{- with $values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if .sleep }}
      # The pod is removed from the Service before the process receives the signal.
      lifecycle:
        preStop: {sleep: {seconds: {{ .sleep }}}}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      # It answers 200 while it serves, with "degraded" if a provider or the database is away. A restart would not help then,
      # so the pod stays.
      startupProbe:
        httpGet: {path: /health, port: http}
        periodSeconds: 2
        failureThreshold: 60
      readinessProbe:
        httpGet: {path: /health, port: http}
        periodSeconds: 5
        timeoutSeconds: 3
      livenessProbe:
        httpGet: {path: /health, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      resources:
        {{- toYaml .part.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/batchgate, readOnly: true}
        - {name: secrets, mountPath: /run/secrets/batchgate, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- if $single }}
        - {name: data, mountPath: /var/lib/batchgate}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "batchgate.name" .root }}}
    - name: secrets
      secret:
        secretName: {{ $values.existingSecret }}
        defaultMode: 288  # 0440
        items:
          {{- if not $single }}
          - {key: database-url, path: database-url}
          {{- end }}
          - {key: master-key, path: master-key}
    - name: tmp
      emptyDir: {sizeLimit: {{ .tmp }}}
{{- end }}

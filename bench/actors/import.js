import 'kernel-lock';
